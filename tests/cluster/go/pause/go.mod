module fluidmodel.test/pause

go 1.24
