select seq, version, recipient_member, state from deliveries where id = any ($1::uuid[])
