"""The marks by which pluggy knows a hook's specification and its implementations."""

import pluggy

hookspec = pluggy.HookspecMarker("tunesmith")
hookimpl = pluggy.HookimplMarker("tunesmith")
