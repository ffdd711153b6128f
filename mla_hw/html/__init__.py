"""The report about a generated folder: one HTML page, a module per section."""
