update peers set failing_since = null, paused_until = null, error = null where peer = $1
