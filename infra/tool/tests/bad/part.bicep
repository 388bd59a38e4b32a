@allowed([
  'small'
  'large'
])
param size string

param title string
param note string

@maxValue(10)
param count int

output title string = '${title} ${size} ${note} ${count}'
