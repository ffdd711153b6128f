"""What is measured: each module writes its figures as JSON and its tables into the pages."""
