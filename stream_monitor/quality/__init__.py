"""What labels say of predictions: measures of quality that add up exactly, and can be taken back."""
