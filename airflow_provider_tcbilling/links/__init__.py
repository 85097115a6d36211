"""Links: buttons on the page of a task."""
