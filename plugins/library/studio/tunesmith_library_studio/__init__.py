"""What a front end works with: runs, jobs, forms, data and chats of one workspace. No HTTP here, and no torch."""

from tunesmith_library_studio.studio import Studio as Studio
from tunesmith_library_studio.workspace import Workspace as Workspace
