"""Models that can be chosen: known by name, in the hubs' caches, in folders, and what runs left."""

from tunesmith_library_studio.models.choosing import Models as Models
