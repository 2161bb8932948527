-- The next digests under which content must lie, and how large it must be.
select u.cipher_sha256, min(u.cipher_size), max(u.cipher_size)
from (
  select * from (
    select distinct k.cipher_sha256, k.cipher_size from delivery_keys as k
    where k.cipher_sha256 > $1 order by k.cipher_sha256 limit $2) as a
  union all
  select * from (
    select distinct p.cipher_sha256, p.cipher_size from uploads as p
    where p.cipher_sha256 > $1 order by p.cipher_sha256 limit $2) as b
) as u
group by u.cipher_sha256
order by u.cipher_sha256
limit $2
