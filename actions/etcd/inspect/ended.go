package inspect

// HowItEnded says how a child that worked on a file ended: in which words, if
// it wasn't well, and whether somebody ended it from outside, which tells
// nothing about the file.
func HowItEnded(waitErr error, stderr string) (words string, outside bool) {
	if waitErr == nil {
		return "", false
	}
	return lastWords(stderr, waitErr), endedFromOutside(waitErr)
}
