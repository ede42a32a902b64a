"""The reports: one plain document of a run, written as JSON, Markdown, HTML, and GitHub annotations."""
