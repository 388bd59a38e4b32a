param name string
var open = { a: 1 b: 2 }
