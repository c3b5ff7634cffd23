"""What rewards and evaluators that judge answers share: functions of the user's own, and schemas of JSON."""
