"""What every program needs: files, paths, names made safe, messages, stopping."""
