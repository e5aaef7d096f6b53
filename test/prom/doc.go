// Package prom holds package promapi against Prometheus itself: the database, engine and
// API of the same version, with the same samples and expressions. It is a module of its
// own, for Prometheus brings much that nothing else requires.
package prom
