select cause, outcome from causes where cause = any ($1::text[])
