"""What servers share: who may ask, by which names, from which pages, and where they listen."""
