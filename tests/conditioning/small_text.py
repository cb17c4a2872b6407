"""A sentence encoder of a few words with random weights, where the user's cache would have one."""

import torch

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "red",
    "blue",
    "heart",
    "cat",
    "bright",
    "dark",
    "the",
    "of",
]
WIDTH = 16


def put(cache, name="minilm"):
    """Writes the network and its tokenizer to cache/data/NAME, in transformers' layout."""
    import transformers

    folder = cache / "data" / name
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, initializer_range=0.5)).save_pretrained(folder)  # fmt: skip
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
