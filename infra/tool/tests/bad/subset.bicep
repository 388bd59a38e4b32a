type shape = {
  name: string
}

@seecure()
param items array

param one shape

var names = map(items, item => item.name)

output all array = names
output first object = one
