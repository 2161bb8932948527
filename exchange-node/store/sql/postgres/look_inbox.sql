select delivery, member, phase from inbox
where delivery = any ($1::uuid[])
