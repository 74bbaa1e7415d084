"""An agent that collects replay in process: a live policy in an `Environment`, written as a training set.

Over ROS topics the agent is the policy node beside the recorder: `qtx collect --policy`.
"""
