module fluidmodel.test/front

go 1.24
