"""A finished race in other forms: text, HTML, plain data, a DataFrame, TensorBoard."""
