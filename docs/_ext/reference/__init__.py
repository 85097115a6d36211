"""The generated parts of the documentation, by subject. Each module has ``parts()``: the texts by their names."""
