//! A tree and a value become a text.

use super::functions;
use super::parse::{Base, Keyword, Node, Operand, Pipe};
use super::{MAX_OUTPUT_BYTES, MAX_STEPS, TemplateError, Value};

pub(super) fn render(nodes: &[Node], root: &Value) -> Result<String, TemplateError> {
    let mut run = Run { out: String::new(), variables: vec![("$".into(), root.clone())], steps: 0 };
    run.list(nodes, root)?;
    Ok(run.out)
}

/// How a list of nodes ended.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run {
    out: String,
    variables: Vec<(String, Value)>,
    steps: usize,
}

impl Run {
    fn list(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            self.step()?;
            match node {
                Node::Text(text) => self.push(text)?,
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.push(&value.print())?;
                    }
                }
                Node::Branch { keyword, pipe, then, otherwise } => {
                    let flow = self.branch(*keyword, pipe, then, otherwise, dot)?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    fn step(&mut self) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(TemplateError::at(0, format!("takes more than {MAX_STEPS} steps")));
        }
        Ok(())
    }

    fn push(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.out.len() + text.len() > MAX_OUTPUT_BYTES {
            return Err(TemplateError::at(0, format!("makes more than {MAX_OUTPUT_BYTES} bytes")));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn branch(
        &mut self,
        keyword: Keyword,
        pipe: &Pipe,
        then: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let value = if keyword == Keyword::Range { self.commands(pipe, dot)? } else { self.pipe(pipe, dot)? };
        let flow = match keyword {
            Keyword::If if value.is_true() => self.list(then, dot)?,
            Keyword::With if value.is_true() => self.list(then, &value)?,
            Keyword::If | Keyword::With => self.list(otherwise, dot)?,
            Keyword::Range => self.range(pipe, &value, then, otherwise, dot)?,
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(
        &mut self,
        pipe: &Pipe,
        over: &Value,
        then: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<Flow, TemplateError> {
        if pipe.variables.len() == 2 && matches!(over, Value::Int(_)) {
            let message = format!("can't use {} to iterate over more than one variable", over.print());
            return Err(TemplateError::at(pipe.line, message));
        }
        // One element at a time, so that a large number costs steps and not memory.
        let elements: Box<dyn Iterator<Item = (Value, Value)>> = match over {
            Value::List(list) => Box::new(
                list.iter().enumerate().map(|(index, item)| (Value::Int(index as i64), item.clone())),
            ),
            Value::Map(map) => Box::new(
                map.iter().map(|(key, value)| (Value::text(key.as_str()), Value::text(value.as_str()))),
            ),
            Value::Int(count) => Box::new((0..*count).map(|index| (Value::Int(index), Value::Int(index)))),
            Value::Nil => Box::new(std::iter::empty()),
            other => {
                let message = format!("range can't iterate over {}", other.print());
                return Err(TemplateError::at(pipe.line, message));
            }
        };
        let scope = self.variables.len();
        let mut empty = true;
        for (key, item) in elements {
            empty = false;
            self.step()?;
            self.bind(pipe, &key, &item)?;
            let flow = self.list(then, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        if empty { self.list(otherwise, dot) } else { Ok(Flow::On) }
    }

    /// Gives an element to the variables of `range`: one gets the element, two get key and element.
    fn bind(&mut self, pipe: &Pipe, key: &Value, item: &Value) -> Result<(), TemplateError> {
        let values: &[&Value] = if pipe.variables.len() == 2 { &[key, item] } else { &[item] };
        for (name, value) in pipe.variables.iter().zip(values) {
            self.set(name, (*value).clone(), pipe)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, pipe: &Pipe) -> Result<(), TemplateError> {
        if pipe.declares {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let slot = self.variables.iter_mut().rev().find(|(have, _)| have == name);
        slot.ok_or_else(|| TemplateError::at(pipe.line, format!("undefined variable: {name}")))?.1 = value;
        Ok(())
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe)?;
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, TemplateError> {
        let mut last = None;
        for command in &pipe.commands {
            self.step()?;
            last = Some(self.command(command, last, dot, pipe.line)?);
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    /// `last` is what the command before it in the pipeline gave: the last argument.
    fn command(
        &mut self,
        operands: &[Operand],
        last: Option<Value>,
        dot: &Value,
        line: usize,
    ) -> Result<Value, TemplateError> {
        let (first, rest) = operands.split_first().ok_or_else(|| TemplateError::at(line, "empty command"))?;
        let Base::Function(name) = first.base else {
            if !rest.is_empty() || last.is_some() {
                let message = "can't give argument to a value that is no function";
                return Err(TemplateError::at(line, message));
            }
            if first.base == Base::Nil {
                return Err(TemplateError::at(line, "nil is not a command"));
            }
            return self.operand(first, dot, line);
        };
        let value = match name {
            "and" | "or" => self.short_circuit(name == "or", rest, last, dot, line)?,
            _ => {
                let mut arguments = Vec::with_capacity(rest.len() + 1);
                for operand in rest {
                    arguments.push(self.operand(operand, dot, line)?);
                }
                arguments.extend(last);
                functions::call(name, &arguments)
                    .map_err(|message| TemplateError::at(line, format!("error calling {name}: {message}")))?
            }
        };
        fields(value, &first.fields, line)
    }

    /// `and` and `or` give the value that decides, and evaluate nothing after it.
    fn short_circuit(
        &mut self,
        until: bool,
        operands: &[Operand],
        last: Option<Value>,
        dot: &Value,
        line: usize,
    ) -> Result<Value, TemplateError> {
        let mut value = None;
        for operand in operands {
            let next = self.operand(operand, dot, line)?;
            if next.is_true() == until {
                return Ok(next);
            }
            value = Some(next);
        }
        last.or(value).ok_or_else(|| TemplateError::at(line, "wrong number of args: want at least 1 got 0"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value, line: usize) -> Result<Value, TemplateError> {
        self.step()?;
        let base = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(have, _)| have == name)
                .map(|(_, value)| value.clone())
                .ok_or_else(|| TemplateError::at(line, format!("undefined variable {name:?}")))?,
            Base::Text(text) => Value::text(text.as_str()),
            Base::Int(value) => Value::Int(*value),
            Base::Float(value) => Value::Float(*value),
            Base::Bool(value) => Value::Bool(*value),
            Base::Nil => Value::Nil,
            Base::Pipe(pipe) => self.pipe(pipe, dot)?,
            Base::Function(name) => {
                return self.command(std::slice::from_ref(operand), None, dot, line).map_err(|error| {
                    TemplateError::at(error.line_offset, format!("{name}: {}", error.message))
                });
            }
        };
        fields(base, &operand.fields, line)
    }
}

fn fields(mut value: Value, names: &[String], line: usize) -> Result<Value, TemplateError> {
    for name in names {
        value = match value {
            Value::Map(mut map) => map.remove(name).map_or(Value::Nil, Value::Text),
            Value::Struct(fields) | Value::Named(_, fields) => {
                match fields.into_iter().find(|(have, _)| have == name) {
                    Some((_, value)) => value,
                    None => return Err(TemplateError::at(line, format!("there is no field .{name}"))),
                }
            }
            // What a map does not hold has no fields either, and Go lets that pass.
            Value::Nil => Value::Nil,
            other => {
                let message = format!("can't evaluate field {name} in type {}", other.type_name());
                return Err(TemplateError::at(line, message));
            }
        };
    }
    Ok(value)
}
