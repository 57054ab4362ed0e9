"""What a lab writes: instruments, their commands, typed parameters and refusals."""
