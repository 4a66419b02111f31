package command

import (
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// checkArgv is the Check of an attribute that is a program with arguments.
func checkArgv(v cty.Value) error {
	if v.LengthInt() == 0 {
		return errors.New("it is empty: name the program first, then its arguments")
	}
	for _, word := range v.AsValueSlice() {
		if word.IsNull() {
			return errors.New("an argument must not be null")
		}
		if strings.ContainsRune(word.AsString(), 0) {
			return errors.New("an argument can't contain a NUL character")
		}
	}
	return checkProgram(v.AsValueSlice()[0].AsString())
}

func checkProgram(name string) error {
	switch {
	case name == "":
		return errors.New("the program's name is empty")
	case strings.ContainsRune(name, ' ') && !strings.ContainsRune(name, '/'):
		return fmt.Errorf("%q is no program's name: there is no shell that takes it apart, so write each argument by itself", name)
	case strings.ContainsRune(name, '/') && !filepath.IsAbs(name):
		return errors.New("the program's path must be absolute: it has to mean the same wherever the run is started")
	}
	return nil
}

func checkEnvironment(v cty.Value) error {
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		name := key.AsString()
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return fmt.Errorf("%q can't be a variable's name", name)
		case value.IsNull():
			return fmt.Errorf("%s is null: leave it out, or set it to \"\"", name)
		case strings.ContainsRune(value.AsString(), 0):
			return fmt.Errorf("%s can't contain a NUL character", name)
		}
	}
	return nil
}

func checkPath(v cty.Value) error {
	if !filepath.IsAbs(v.AsString()) {
		return errors.New("the path must be absolute: it has to mean the same wherever the run is started")
	}
	if strings.ContainsRune(v.AsString(), 0) {
		return errors.New("a path can't contain a NUL character")
	}
	return nil
}

func checkPositive(v cty.Value) error {
	if n, acc := v.AsBigFloat().Int64(); acc != big.Exact || n < 1 || n > 1<<31 {
		return fmt.Errorf("it has to be a whole number from 1 to %d", 1<<31)
	}
	return nil
}

func checkCodes(v cty.Value) error {
	if v.LengthInt() == 0 {
		return errors.New("without an expected exit code the step could never succeed")
	}
	for _, code := range v.AsValueSlice() {
		if code.IsNull() {
			return errors.New("an exit code must not be null")
		}
		if n, acc := code.AsBigFloat().Int64(); acc != big.Exact || n < 0 || n > 255 {
			return errors.New("an exit code is a whole number from 0 to 255")
		}
	}
	return nil
}
