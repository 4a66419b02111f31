package main

import ("os";"strconv";"fmt")
const memberName="cp1"
const peerURL="http://127.0.0.11:2380"
func main() { n,_:=strconv.ParseInt(os.Args[2],10,64); fmt.Println(makeSnapshot(os.Args[1], n)) }
