"""Systems: what a user holds, a denoiser with all that turns data into samples of the model and back."""
