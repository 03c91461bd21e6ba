"""Token shards in the forms of other trainers: one file a form, its name is the form's name."""
