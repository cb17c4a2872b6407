"""Small pipelines of Stable Diffusion with random weights, made by diffusers and transformers, and a tokenizer made here."""

import json

import diffusers
import torch
import transformers

WORDS = ("a", "red", "heart", "cat", "blue", "of", "on", "the")


def tokenizer(folder):
    """CLIP's own kind, of letters and a few words."""
    letters = [chr(n) for n in range(97, 123)] + ["0", "1", ","]
    pieces = [*letters, *(one + "</w>" for one in letters)]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            pieces.append(parts[0])
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(dict.fromkeys(merges)) + "\n")
    return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def drawn(network, spread=1.0):
    """Every weight anew, so that no zero hides a difference."""
    for name, p in network.named_parameters():
        if p.ndim < 2:
            torch.nn.init.normal_(p, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.1)
        else:
            torch.nn.init.normal_(p, std=spread * p[0].numel() ** -0.5)
    return network.eval()


def text_encoder(words, cls=transformers.CLIPTextModel, width=32, **more):
    config = transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=width, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=width, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id, **more)  # fmt: skip
    return drawn(cls(config))


def unet(channels=4, tokens=32, **more):
    return drawn(diffusers.UNet2DConditionModel(**{
        "sample_size": 8, "in_channels": channels, "out_channels": 4, "block_out_channels": (32, 64, 64), "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": tokens,
        "attention_head_dim": 4, **more}), 0.7)  # fmt: skip


def vae(**more):
    return drawn(diffusers.AutoencoderKL(**{
        "block_out_channels": (32, 64), "layers_per_block": 1, "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2, "latent_channels": 4, "norm_num_groups": 8, **more}))  # fmt: skip


def stable_diffusion(folder, scheduler, **network):
    torch.manual_seed(0)
    words = tokenizer(folder / "words")
    return diffusers.StableDiffusionPipeline(
        vae=vae(), text_encoder=text_encoder(words), tokenizer=words, unet=unet(**network), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)  # fmt: skip


def inpainting(folder, scheduler):
    """Of latents beside a mask and the latents of what is kept."""
    torch.manual_seed(0)
    words = tokenizer(folder / "words")
    return diffusers.StableDiffusionInpaintPipeline(
        vae=vae(), text_encoder=text_encoder(words), tokenizer=words, unet=unet(channels=9), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)  # fmt: skip


def stable_diffusion_xl(folder, scheduler):
    torch.manual_seed(0)
    words = tokenizer(folder / "words")
    second = text_encoder(words, transformers.CLIPTextModelWithProjection, 48)
    added = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 96,
    }
    network = unet(tokens=80, use_linear_projection=True, attention_head_dim=(2, 4, 4), transformer_layers_per_block=(1, 2, 2),
                   **added)  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(scaling_factor=0.13025), text_encoder=text_encoder(words), text_encoder_2=second, tokenizer=words,
        tokenizer_2=words, unet=network, scheduler=scheduler, add_watermarker=False)  # fmt: skip


def t5(folder):
    """A T5 encoder of a few words, and its tokenizer."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0),
              *((f"▁{word}", -2.0) for word in WORDS), *((chr(n), -5.0) for n in range(97, 123))]  # fmt: skip
    words = transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    config = transformers.T5Config(
        vocab_size=len(pieces), d_model=96, d_kv=16, d_ff=64, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu",
        is_encoder_decoder=False, pad_token_id=0, eos_token_id=1)  # fmt: skip
    return drawn(transformers.T5EncoderModel(config), 0.7), words


def stable_diffusion_3(folder, third=True, shift=3.0, **more):
    torch.manual_seed(0)
    words = tokenizer(folder / "words")
    projected = transformers.CLIPTextModelWithProjection
    network = diffusers.SD3Transformer2DModel(**{
        "sample_size": 8, "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 3, "attention_head_dim": 16,
        "num_attention_heads": 4, "joint_attention_dim": 96, "caption_projection_dim": 64, "pooled_projection_dim": 80,
        "pos_embed_max_size": 12, **more})  # fmt: skip
    encoder, pieces = t5(folder) if third else (None, None)
    return diffusers.StableDiffusion3Pipeline(
        transformer=drawn(network, 0.7), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=vae(latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False,
                use_post_quant_conv=False),
        text_encoder=text_encoder(words, projected), tokenizer=words, text_encoder_2=text_encoder(words, projected, 48),
        tokenizer_2=words, text_encoder_3=encoder, tokenizer_3=pieces)  # fmt: skip


def dit(folder, scheduler):
    torch.manual_seed(0)
    network = diffusers.DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, sample_size=8, patch_size=2,
        num_embeds_ada_norm=1000)  # fmt: skip
    return diffusers.DiTPipeline(transformer=drawn(network, 0.7), vae=vae(), scheduler=scheduler)


def pixart(folder, scheduler, kind=diffusers.PixArtSigmaPipeline, size=32):
    torch.manual_seed(0)
    encoder, pieces = t5(folder)
    network = diffusers.PixArtTransformer2DModel(
        num_attention_heads=4, attention_head_dim=12, in_channels=4, out_channels=8, num_layers=2, sample_size=size, patch_size=2,
        cross_attention_dim=48, caption_channels=96)  # fmt: skip
    eighth = vae(
        block_out_channels=(16,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    return kind(
        tokenizer=pieces, text_encoder=encoder, vae=eighth, transformer=drawn(network, 0.7), scheduler=scheduler
    )


def flux(folder, dynamic=True, guided=True):
    torch.manual_seed(0)
    words = tokenizer(folder / "words")
    encoder, pieces = t5(folder)
    network = diffusers.FluxTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=96,
        pooled_projection_dim=32, guidance_embeds=guided, axes_dims_rope=(4, 6, 6))  # fmt: skip
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0 if dynamic else 1.0, use_dynamic_shifting=dynamic),
        vae=vae(latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=text_encoder(words), tokenizer=words, text_encoder_2=encoder, tokenizer_2=pieces,
        transformer=drawn(network, 0.7))  # fmt: skip


def upscaler(folder, scheduler):
    """Of latents beside a small picture, four times as large; positions attend to each other at the last level alone."""
    torch.manual_seed(0)
    words = tokenizer(folder / "words")
    fourth = vae(block_out_channels=(16, 32, 32), down_block_types=("DownEncoderBlock2D",) * 3,
                 up_block_types=("UpDecoderBlock2D",) * 3, scaling_factor=0.08333)  # fmt: skip
    network = unet(
        channels=7, num_class_embeds=1000, only_cross_attention=(True, True, False), use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"))  # fmt: skip
    return diffusers.StableDiffusionUpscalePipeline(
        vae=fourth, text_encoder=text_encoder(words), tokenizer=words, unet=network, scheduler=scheduler,
        low_res_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"), safety_checker=None)  # fmt: skip
