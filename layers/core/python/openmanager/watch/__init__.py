"""One prediction round for a shard of servers: read, infer, judge, publish. The top floor; imports everything below."""
