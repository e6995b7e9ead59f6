"""HTTP for administrators' programs: everything the dashboard's administrators do, as JSON.

table       every route: which operation it is, and what it answers with
answers     the shapes of answers
access      who may ask
handlers    routes → request handlers
openapi     routes → the description at /api/openapi.json
"""
