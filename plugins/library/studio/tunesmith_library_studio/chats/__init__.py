"""Chats: models that are loaded and answer, conversations that are kept, votes between models, rows from both."""

from tunesmith_library_studio.chats.chats import Chats as Chats
from tunesmith_library_studio.chats.served import Loaded as Loaded
