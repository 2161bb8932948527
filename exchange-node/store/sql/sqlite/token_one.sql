select t.sha256, t.client_id, t.member, t.scopes, t.expires
from tokens as t join clients as c on c.client_id = t.client_id
where t.sha256 = $1 and t.expires > $2 and (c.revoked_at is null or c.revoked_at > $2)
