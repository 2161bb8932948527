update deliveries set erased = true where id = any ($1::uuid[]) and not erased returning message
