// Package page drives the page for people in Chromium. Its tests need the build tag
// engines.
package page
