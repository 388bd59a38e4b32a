using './part.bicep'

var note = 'a note'

param size = 'smal'
param titles = 'a'
param note = note
param count = 'two'
