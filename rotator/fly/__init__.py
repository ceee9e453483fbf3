"""The Fly client: transport, GraphQL, the Machines API and tokens."""
