# As much of nixpkgs' module system as our modules use, with the same meaning: options with a type and a default, conditions,
# priorities, and an error for what is not declared or has two values. It stands in for `lib` in the tests.
rec {
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    elem
    filter
    foldl'
    head
    isAttrs
    isFunction
    length
    listToAttrs
    map
    mapAttrs
    sort
    ;

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalAttrs = condition: set: if condition then set else { };
  optionalString = condition: text: if condition then text else "";
  genAttrs =
    names: value:
    listToAttrs (
      map (name: {
        inherit name;
        value = value name;
      }) names
    );
  hasSuffix =
    end: text:
    let
      start = builtins.stringLength text - builtins.stringLength end;
    in
    start >= 0 && builtins.substring start (-1) text == end;
  hasInfix = part: text: length (builtins.split part text) > 1;
  importTOML = file: builtins.fromTOML (builtins.readFile file);
  getLib = package: package.lib or package.out or package;
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };

  # A source is its root; what it is made of must be there.
  fileset = {
    unions = paths: paths;
    toSource =
      { root, fileset }:
      if all builtins.pathExists fileset then toString root else throw "a part of the source is missing";
  };
  licenses = {
    mit.spdxId = "MIT";
    asl20.spdxId = "Apache-2.0";
  };
  trivial.release = "26.05";

  mkOption = option: option // { _type = "option"; };
  mkEnableOption =
    text:
    mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${text}.";
    };
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;
  mkBefore = content: {
    _type = "order";
    order = 500;
    inherit content;
  };

  types =
    let
      one =
        name: check: values:
        if length values > 1 && any (value: value != head values) values then
          throw "conflicting definition values"
        else if check (head values) then
          head values
        else
          throw "a definition is not of type ${name}";
      simple = name: check: {
        inherit name;
        merge = one name check;
      };
    in
    {
      bool = simple "bool" builtins.isBool;
      str = simple "str" builtins.isString;
      path = simple "path" (value: builtins.substring 0 1 "${value}" == "/");
      package = simple "package" (value: isAttrs value && value ? outPath);
      anything = simple "anything" (_: true);
      nullOr = type: {
        name = "nullOr ${type.name}";
        merge =
          values: if all isNull values then null else type.merge (filter (value: value != null) values);
      };
      listOf = type: {
        name = "listOf ${type.name}";
        merge = values: map (value: type.merge [ value ]) (concatLists values);
      };
      attrsOf = type: {
        name = "attrsOf ${type.name}";
        merge =
          values:
          mapAttrs (name: _: type.merge (map (set: set.${name}) (filter (set: set ? ${name}) values))) (
            foldl' (whole: set: whole // set) { } values
          );
      };
    };

  isType = type: value: isAttrs value && (value._type or null) == type;

  # What `mkIf` and `mkMerge` leave of a value, as a list.
  discharge =
    value:
    if isType "if" value then
      optionals value.condition (discharge value.content)
    else if isType "merge" value then
      concatMap discharge value.contents
    else
      [ value ];

  # The definitions at a path, each below the conditions it stands under. They are not looked at yet: a condition may
  # depend on another option that is defined beside.
  definitionsAt =
    path: config:
    if path == [ ] then
      [ config ]
    else if isType "if" config then
      map (mkIf config.condition) (definitionsAt path config.content)
    else if isType "merge" config then
      concatMap (definitionsAt path) config.contents
    else
      optionals (config ? ${head path}) (definitionsAt (builtins.tail path) config.${head path});

  optionPaths =
    options: prefix:
    concatMap (
      name:
      let
        option = options.${name};
        path = prefix ++ [ name ];
      in
      if isType "option" option then [ { inherit path option; } ] else optionPaths option path
    ) (attrNames options);

  # Every path that a module defines and none declares, whatever its conditions say.
  undeclared =
    options: prefix: value:
    if isType "if" value then
      undeclared options prefix value.content
    else if isType "merge" value then
      concatMap (undeclared options prefix) value.contents
    else
      concatMap (
        name:
        if !(options ? ${name}) then
          [ (builtins.concatStringsSep "." (prefix ++ [ name ])) ]
        else
          optionals (!isType "option" options.${name}) (
            undeclared options.${name} (prefix ++ [ name ]) value.${name}
          )
      ) (attrNames value);

  recursiveUpdate =
    a: b:
    a
    // mapAttrs (
      name: value:
      if a ? ${name} && isAttrs a.${name} && isAttrs value && !isType "option" value then
        recursiveUpdate a.${name} value
      else
        value
    ) b;

  setAt =
    path: value: if path == [ ] then value else { ${head path} = setAt (builtins.tail path) value; };

  evalModules =
    { modules, pkgs }:
    let
      load =
        module:
        let
          content =
            if isFunction module then
              module
            else if isAttrs module then
              (_: module)
            else
              import module;
          arguments = {
            inherit
              lib
              pkgs
              config
              options
              ;
          };
          set = if isFunction content then content arguments else content;
          whole = if set ? config || set ? options then set else { config = removeAttrs set [ "imports" ]; };
        in
        [ whole ] ++ concatMap load (set.imports or [ ]);
      loaded = concatMap load modules;
      options = foldl' recursiveUpdate { } (map (module: module.options or { }) loaded);
      configs = map (module: module.config or { }) loaded;
      value =
        { path, option }:
        let
          given = concatMap discharge (concatMap (definitionsAt path) configs);
          ranked = map (
            definition:
            if isType "override" definition then
              definition
            else
              {
                priority = 100;
                content = definition;
              }
          ) (given ++ optional (option ? default) (mkOverride 1500 option.default));
          best = foldl' (least: one: if one.priority < least then one.priority else least) 9999 ranked;
          chosen = map (one: one.content) (filter (one: one.priority == best) ranked);
          ordered = map (
            definition:
            if isType "order" definition then
              definition
            else
              {
                order = 1000;
                content = definition;
              }
          ) chosen;
          used = map (one: one.content) (sort (a: b: a.order < b.order) ordered);
          name = builtins.concatStringsSep "." path;
        in
        if used == [ ] then
          throw "the option `${name}' is used but not defined"
        else
          builtins.addErrorContext "while evaluating the option `${name}':" (option.type.merge used);
      config = foldl' recursiveUpdate { } (
        map (one: setAt one.path (value one)) (optionPaths options [ ])
      );
      strangers = concatMap (undeclared options [ ]) configs;
    in
    {
      inherit options;
      config = if strangers == [ ] then config else throw "undeclared options: ${toString strangers}";
    };

  lib = {
    inherit
      all
      any
      concatMap
      elem
      evalModules
      fileset
      filter
      genAttrs
      getLib
      hasInfix
      hasSuffix
      importTOML
      licenses
      literalExpression
      map
      mapAttrs
      mkBefore
      mkDefault
      mkEnableOption
      mkForce
      mkIf
      mkMerge
      mkOption
      optional
      optionalAttrs
      optionalString
      optionals
      trivial
      types
      ;
  };
}
