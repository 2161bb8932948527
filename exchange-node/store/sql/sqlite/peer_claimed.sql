update peers set next_at = $2, paused_until = $3 where peer = $1
