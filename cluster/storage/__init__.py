"""What a Folder rests on: trees of files, files of which one process alone holds one, copies on a machine."""
