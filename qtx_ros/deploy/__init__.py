"""What runs on the robot: the bundle, the policy that reads it, and the rules that keep its commands safe. No torch."""
