"""The app and group model: read, checked, shown."""
