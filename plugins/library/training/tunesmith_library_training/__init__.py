"""What training plugins share. Import its modules inside hooks: most of them import torch."""
