"""dnadet: which generator architecture made this image?"""
