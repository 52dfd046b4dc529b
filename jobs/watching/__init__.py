"""What is told of steps while they run: metrics, event files for TensorBoard, runs for MLflow."""
