select role, phase, count(*) from deliveries group by role, phase order by role, phase
