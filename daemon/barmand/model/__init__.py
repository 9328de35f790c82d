"""What things are: values, rules and errors. No I/O."""
