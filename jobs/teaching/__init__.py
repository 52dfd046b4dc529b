"""What a student learns from its teacher: the loss, the teacher's features, and its answers, which are kept."""
