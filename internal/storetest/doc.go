// Package storetest is what every store promises, as tests. Each store package
// runs the suites of the interfaces it implements; a promise that is not
// checked here is not one. It knows no store and no SQL.
package storetest
