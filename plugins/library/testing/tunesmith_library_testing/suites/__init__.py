"""One module per kind of plugin, one suite each; import them from `tunesmith_library_testing`."""
